"""Doctor: what this machine can do, measured."""

from daybreak.commands.options import (
    AsJson,
    Device,
    check_named,
    declared,
)
from daybreak.core import messages, terminal
from daybreak.core.failures import translate_errors


@declared("daybreak doctor")
def command(device: Device = "", as_json: AsJson = False) -> None:
    """Measure what this machine can do, and say what is missing."""
    check_named(device=device)
    from daybreak.stages.doctor.examination import examined, lines

    found = translate_errors(lambda: examined(device))
    print(terminal.as_json(found, indent=1) if as_json else messages.localized("\n".join(lines(found))))
