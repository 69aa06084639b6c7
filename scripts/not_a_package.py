"""A build backend that builds nothing: `pip install .` ends with the reason, and not with half of the project."""

_REASON = "Capstone runs from its folder and is not installed: type `make` there. `make train` sets up what it needs."


def _refuse(*_: object, **__: object) -> str:
    raise SystemExit(_REASON)


# What pip and other frontends call, by PEP 517 and PEP 660.
build_wheel = build_editable = build_sdist = _refuse
prepare_metadata_for_build_wheel = prepare_metadata_for_build_editable = _refuse
