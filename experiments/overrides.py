"""How one override of Hydra's is read: `key=value`, `+key=value`, `++key=value`, `~key`, `group@package=option`."""


def key_of(override: str) -> str:
    """Returns the key of an override, without its sign and package."""
    return override.partition("=")[0].lstrip("+~").partition("@")[0]
