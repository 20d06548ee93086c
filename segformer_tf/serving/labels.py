"""The labels of a model's versions, such as stable and canary, while they are moved."""

import logging
from collections.abc import Container, Mapping


class Labels:
    """Label -> version as requests find it: a label moves when its version is loaded, not when that is asked for."""

    def __init__(self) -> None:
        self.now: dict[str, int] = {}
        self.wanted: dict[str, int] = {}
        self.passed_over: Container[int] = ()  # versions that are there and not loaded: the policy does not want them
        self._told: dict[str, int] = {}

    def move(self, wanted: Mapping[str, int], loaded: Container[int]) -> None:
        """Each label to the version wanted where that is loaded; elsewhere it keeps the one it has, while that is."""
        self.wanted = dict(wanted)
        moved = {key: number if number in loaded else self.now.get(key, number) for key, number in wanted.items()}
        self.now = {key: number for key, number in moved.items() if number in loaded}

    def kept(self) -> set[int]:
        """The versions that go on for labels whose new one is not loaded; logs such labels once."""
        late = {key: number for key, number in self.wanted.items() if self.now.get(key) != number}
        for key, number in late.items() - self._told.items():
            meanwhile = f"version {self.now[key]} goes on" if key in self.now else "requests for it fail"
            logging.warning("The label %s is for version %d, which is not loaded: %s.", key, number, meanwhile)
        self._told = late
        return {self.now[key] for key in late if key in self.now}

    def missing(self, label: str, name: str, errors: Mapping[int, str]) -> str:
        """Why the model of that name has no such label now; `errors` say why versions could not be loaded, or ""."""
        expected = f"expected one of {', '.join(sorted(self.now)) or 'none'}"
        if (number := self.wanted.get(label)) is None:
            return f"There is no label {label!r} of {name}, {expected}."
        given = f"The label {label!r} of {name} is for version {number}, which"
        if number in self.passed_over:
            return f"{given} the version policy does not load, {expected}: add it to the policy, or move the label."
        error = errors.get(number)
        return f"{given} cannot be loaded, {expected}: {error}" if error else f"{given} is not loaded yet, {expected}."
