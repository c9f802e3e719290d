"""Hooks of schemathesis: ids of items that exist. Random ids are unknown, and never reach the engine.

The server needs no hooks to pass the checks (`test_a_plain_run_passes`).
"""

import schemathesis
from hypothesis import strategies as st
from served import CATALOGUE

IDS = {item["id"]: item.get("type", "question") for item in CATALOGUE}
ITEMS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=256).filter(lambda text: text not in IDS)

for kind in ("question", "content"):
    own = [name for name, its_kind in IDS.items() if its_kind == kind]
    schemathesis.openapi.format(kind, st.sampled_from(own) | ITEMS)
