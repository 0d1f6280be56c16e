"""A command line that cannot be understood is one line, with the nearest known name and where help is."""

import pytest

from forge_gpu.cli.app import COMMANDS, _run

CASES = [
    (["--bogus"], "there is no option '--bogus'; see 'forge --help'"),
    (["plam"], "there is no command 'plam'; did you mean 'plan'? See 'forge --help'"),
    (
        ["zzz"],
        "there is no command 'zzz'; known: plan, estimate, tune, prepare, check, verify, card, push, repack, "
        "mix, diff, script, report, watch, history, template, tokens, image, transform, warm, doctor; "
        "see 'forge --help'",
    ),
    (["plan", "--dat", "x"], "there is no option '--dat'; did you mean '--data'? See 'forge plan --help'"),
    (["plan", "--data"], "--data needs a value; see 'forge plan --help'"),
    (
        ["plan", "support", "assistant"],
        "'assistant' is too much; put an argument of several words in quotes; see 'forge plan --help'",
    ),
    (
        ["prepare", "--threads", "x"],
        "--threads: 'x' is not a whole number of 1 or more; see 'forge prepare --help'",
    ),
    (
        ["prepare", "--limit", "0"],
        "--limit: '0' is not a whole number of 1 or more; see 'forge prepare --help'",
    ),
    (["prepare", "--strict=3"], "--strict takes no value; see 'forge prepare --help'"),
    (["template", "shw"], "there is no command 'shw'; did you mean 'show'? See 'forge template --help'"),
    (["template", "render"], "ROW is missing; see 'forge template render --help'"),
    (
        ["template", "render", "x"],
        "ROW: 'x' is not a whole number of 1 or more; see 'forge template render --help'",
    ),
    (
        ["template", "show", "--limt", "3"],
        "there is no option '--limt'; did you mean '--limit'? See 'forge template show --help'",
    ),
    (["doctor", "x"], "'x' is too much; see 'forge doctor --help'"),
    (["warm", "--x"], "there is no option '--x'; see 'forge warm --help'"),
]


@pytest.mark.parametrize(("arguments", "line"), CASES, ids=[" ".join(case[0]) for case in CASES])
def test_a_fault_of_usage_is_one_line(arguments, line, capsys):
    assert _run(arguments, debug=False) == 2
    assert capsys.readouterr() == ("", f"error: {line}\n")


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("wrong", ["--nonsense", "--nonsense=1", "-Z"])
def test_every_command_says_so(command, wrong, capsys):
    assert _run([command, wrong], debug=False) == 2
    reported = capsys.readouterr().err
    assert reported.startswith(f"error: there is no option '{wrong.partition('=')[0]}'")
    assert reported.endswith(f"see 'forge {command} --help'\n") and reported.count("\n") == 1


@pytest.mark.parametrize("arguments", [[], ["template"]])
def test_without_a_command_there_is_help(arguments, capsys):
    assert _run(arguments, debug=False) == 2
    assert "Commands:" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["plan", "--help"], ["template", "--help"]])
def test_help_and_version_end_well(arguments, capsys):
    assert _run(arguments, debug=False) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown and not [line for line in shown[1:] if line.endswith("...")]
