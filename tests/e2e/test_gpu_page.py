"""The page about nodes with GPUs: its templates, and what a task then sees. To name one, none is needed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

PAGE = (Path(__file__).parents[2] / "docs" / "howto" / "machine" / "gpu.md").read_text()
TEMPLATES = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
[SCRIPT] = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("template", TEMPLATES, ids=["a task that asks", "a worker for each"])
def test_a_task_sees_the_one_that_it_asked_for(fresh, template):
    up = fresh()
    few_cores = template.replace("cores_per_worker: 8", "cores_per_worker: 1")
    (up.data_dir / "endpoint" / "user_config_template.yaml.j2").write_text(few_cores)
    assert up.script(SCRIPT).strip() in ("0", "1", "2", "3")
