"""Features in words: rules that are found without a judge, and explanations by a language model, both with scores."""

from monosema.interpretation.activity import Activity
from monosema.interpretation.chat import Chat, ChatOptions, Unavailable, Usage
from monosema.interpretation.describe import RULES, Describer, RuleOptions
from monosema.interpretation.judge import Interpreted, JudgeOptions, cases, interpret_all
from monosema.interpretation.rules import Condition, Rule
from monosema.interpretation.scores import Detection
from monosema.interpretation.text import Text, load_text

__all__ = [
    "RULES",
    "Activity",
    "Chat",
    "ChatOptions",
    "Condition",
    "Describer",
    "Detection",
    "Interpreted",
    "JudgeOptions",
    "Rule",
    "RuleOptions",
    "Text",
    "Unavailable",
    "Usage",
    "cases",
    "interpret_all",
    "load_text",
]
