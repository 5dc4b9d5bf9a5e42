"""A feature of a store as plain text."""

import numpy as np

from monosema.analysis.render import one_line
from monosema.features.store import Activations, FeatureStore, Place


def feature_text(store: FeatureStore, feature: int, examples: int = 10, window: tuple[int, int] = (20, 10)) -> str:
    """What is known of a feature, in lines for a terminal; the token of each example stands between « and ».

    Args:
        store: where it lies.
        feature: which.
        examples: how many of its strongest ones are shown.
        window: tokens shown before and after each, as far as the context goes.

    Raises:
        InputError: there is no such feature.
    """
    row, activations = store.feature(feature), store.activations(feature)
    lines = [
        f"feature {feature}: fires on {100 * row.density:.4g} % of {store.index.counted:,} tokens "
        f"({row.activations:,}), mean {row.mean:.3g}, max {row.high:.3g}"
    ]
    lines += [f"  {description.line()}" for description in store.descriptions(feature)]
    for title, pairs in (("promotes", row.promotes), ("suppresses", row.suppresses)):
        if pairs:
            lines.append(f"  {title}: " + "  ".join(f"{one_line(p['text'])!r} {p['value']:+.2f}" for p in pairs))
    for title in ("similar", "together", "apart"):
        pairs = getattr(row, title)
        lines.append(f"  {title}: " + ("  ".join(f"{p['feature']} {p['figure']:+.2f}" for p in pairs) or "none"))
    strongest = [pick["token"] for pick in row.examples if pick["group"] == 0][:examples]
    places = store.places(strongest, *window)
    lines += [
        _line(place, activations, token, store.index.context) for place, token in zip(places, strongest, strict=True)
    ]
    return "\n".join(lines)


def _line(place: Place, activations: Activations, token: int, length: int) -> str:
    at = token - place.context * length - place.start
    texts = [one_line(text) for text in place.texts]
    texts[at] = f"«{texts[at]}»"
    value = activations.values[np.searchsorted(activations.tokens, token)]
    return f"{value:10.2f}  {''.join(texts)}"
