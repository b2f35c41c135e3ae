"""The commands: plain typed functions, and two fronts made from them, Invoke and argparse."""

from __future__ import annotations

COMMANDS = {
    "run": "nasexp.cli.running",
    "runs": "nasexp.cli.looking",
    "status": "nasexp.cli.looking",
    "show": "nasexp.cli.looking",
    "logs": "nasexp.cli.looking",
    "attach": "nasexp.cli.attaching",
    "stop": "nasexp.cli.steering",
    "extend": "nasexp.cli.steering",
    "resume": "nasexp.cli.resuming",
    "close-run": "nasexp.cli.steering",
    "report": "nasexp.cli.billing",
    "hosts": "nasexp.cli.inventory",
    "trust": "nasexp.cli.trusting",
    "check": "nasexp.cli.checking",
    "config": "nasexp.cli.settings",
    "init": "nasexp.cli.making",
    "new": "nasexp.cli.making",
    "import-bash": "nasexp.cli.importing",
}
"""Every command of the core and the module that holds it, in the order of the help."""
