"""Which command does what a key does, for the help: everything works without a screen, too."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

TWINS: Final = MappingProxyType(
    {
        "app.home": "ftui runs",
        "app.data": "ftui inspect DATA",
        "app.advise": "ftui recommend MODEL DATA",
        "app.configure": "ftui configure PRESET",
        "app.monitor": "ftui watch",
        "runs.open": "ftui watch RUN",
        "home.new": "ftui train FILE",
        "home.new_chain": "ftui chain start FILE",
        "home.stop": "ftui stop RUN",
        "home.resume": "ftui resume RUN",
        "home.kill": "ftui kill RUN",
        "home.delete": "ftui delete RUN",
        "home.delete_all": "ftui chain delete CHAIN --runs",
        "data.open": "ftui inspect DATA",
        "data.search": "ftui inspect DATA --search TEXT",
        "data.columns": "ftui inspect DATA --mapping",
        "data.clean": "ftui clean DATA",
        "data.split": "ftui split DATA",
        "data.new": "ftui train PRESET --set data.train=DATA",
        "data.advise": "ftui recommend MODEL DATA",
        "data.model": "ftui inspect DATA --model FOLDER",
        "data.length": "ftui inspect DATA --max-length N",
        "data.eval": "ftui inspect DATA --eval FILE",
        "data.deeper": "ftui inspect DATA --pii --toxicity --embed MODEL",
        "data.stop": "ctrl+c",
        "advise.answer": "ftui recommend MODEL DATA --answer NODE=CHOICE",
        "advise.open": "ftui recommend MODEL DATA",
        "advise.gpus": "ftui recommend MODEL DATA --gpu 24",
        "advise.write": "ftui recommend MODEL DATA --write FILE",
        "advise.start": "ftui chain start FILE",
        "configure.edit": "ftui train SPEC --set KEY=VALUE",
        "configure.start": "ftui train SPEC",
        "configure.all": "ftui configure SPEC --whole",
        "configure.open": "ftui configure FILE",
        "configure.memory": "ftui check SPEC",
        "configure.replays": "ftui estimate MODEL",
        "configure.preset": "ftui presets",
        "configure.yaml": "ftui configure SPEC",
        "configure.write": "ftui configure SPEC --out FILE",
        "configure.save_preset": "ftui configure SPEC --out FILE",
        "monitor.stop": "ftui stop RUN",
        "monitor.checkpoint": "ftui checkpoint RUN",
        "monitor.kill": "ftui kill RUN",
        "monitor.resume": "ftui resume RUN",
        "monitor.follow": "ftui watch RUN",
    }
)
"""By the id of a key's binding."""

ONLY_HERE: Final = frozenset(
    (
        *("help", "app.quit", "app.suspend"),
        *("home.mark", "home.filter", "home.back", "home.quit"),
        *("data.view", "data.findings", "data.back", "data.quit"),
        *("advise.own", "advise.view", "advise.configure", "advise.back", "advise.quit"),
        *("configure.default", "configure.undo", "configure.compare", "configure.editor"),
        *("configure.filter", "configure.back", "configure.quit"),
        *("monitor.view", "monitor.detach"),
    )
)
"""Keys that go from place to place, or take back what was done on a screen: no command is one."""
