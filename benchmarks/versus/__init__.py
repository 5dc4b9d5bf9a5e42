"""The parts of `quality.py`: what is trained, by whom, on what, and how it is measured.

`worker`, `rows` and the modules `peer_*` run in the peers' environment too, where there is no monosema.
"""
