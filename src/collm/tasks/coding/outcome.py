"""What a program is worth: the released levels, the hardened cooperation, and their parts (reference: TASKS 0, 4.2, 4.3)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

MAXIMUM = 4.0
AUX_WEIGHT = 0.4
MAIN_WEIGHT = 0.6
SYNTAX_WEIGHT = 0.5
TESTS_WEIGHT = 1.0
USE_WEIGHT = 0.5
SUBSTANCE_WEIGHT = 1.0
IGNORED_PENALTY = 0.5
COOPERATION_WEIGHT = USE_WEIGHT + SUBSTANCE_WEIGHT


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of one joint action."""

    aux_defined: bool = False
    aux_returns: bool = False
    main_defined: bool = False
    main_returns: bool = False
    parses: bool = False
    """Both functions, those that are there, parse, and the main one is there."""
    calls_aux: bool = False
    thin: bool = False
    ignores_aux: bool = False
    public_passed: int = 0
    public_total: int = 0
    passed: int = 0
    total: int = 1
    """Held-out tests."""
    timeouts: int = 0
    passed_without_helper: int = 0
    """Held-out tests that pass with a stand-in for the helper, the one with which most do."""
    passed_by_helper: int = 0
    """Held-out tests that pass with a stand-in for the main function, the one with which most do."""

    @property
    def definitions(self) -> float:
        """Level 1."""
        return AUX_WEIGHT * self.aux_returns + MAIN_WEIGHT * self.main_returns

    @property
    def syntax(self) -> float:
        """Level 2, reached if the main function is there."""
        return SYNTAX_WEIGHT * self.parses

    @property
    def pass_rate(self) -> float:
        return self.passed / self.total

    @property
    def tests(self) -> float:
        """Level 3, reached if the program parses."""
        return TESTS_WEIGHT * self.pass_rate if self.parses else 0.0

    @property
    def uses_aux(self) -> bool:
        return self.aux_defined and self.calls_aux

    @property
    def use(self) -> float:
        """First part of the released cooperation level, whatever the tests say."""
        return USE_WEIGHT * self.uses_aux

    @property
    def substance(self) -> float:
        """Second part of the released cooperation level, whatever the tests say."""
        return SUBSTANCE_WEIGHT * (self.uses_aux and not self.thin)

    @property
    def bonus(self) -> float:
        """Level 4, reached if a held-out test passes."""
        return self.use + self.substance if self.parses and self.passed else 0.0

    @property
    def paper(self) -> float:
        return self.definitions + self.syntax + self.tests + self.bonus

    @property
    def judged_together(self) -> bool:
        """Whether it is worth asking what helper and main function do without each other."""
        return self.parses and self.passed > 0 and self.uses_aux

    @property
    def delta_aux(self) -> float:
        """Share of the held-out tests that pass only with the helper."""
        return max(0, self.passed - self.passed_without_helper) / self.total if self.judged_together else 0.0

    @property
    def delta_main(self) -> float:
        """Share of the held-out tests that pass only with the main function; none for a thin wrapper."""
        counts = self.judged_together and not self.thin
        return max(0, self.passed - self.passed_by_helper) / self.total if counts else 0.0

    @property
    def hardened(self) -> float:
        cooperation = COOPERATION_WEIGHT * min(self.delta_aux, self.delta_main)
        return self.definitions + self.syntax + self.tests + cooperation

    def reward(self, profile: str) -> float:
        return self.hardened if profile == "hardened" else self.paper

    def components(self) -> Mapping[str, float]:
        """Every named part, of both profiles."""
        return {
            "paper": self.paper,
            "hardened": self.hardened,
            "definition_reward": self.definitions,
            "syntax_reward": self.syntax,
            "syntax_valid_rate": float(self.parses),
            "execution_reward": self.tests,
            "tests_passed": float(self.passed),
            "tests_total": float(self.total),
            "test_pass_rate": self.pass_rate,
            "all_tests_passed": float(self.passed == self.total),
            "public_pass_rate": self.public_passed / self.public_total if self.public_total else 0.0,
            "timeouts": float(self.timeouts),
            "bonus_reward": self.bonus,
            "collab_aux_usage": self.use if self.bonus else 0.0,
            "collab_non_wrapper": self.substance if self.bonus else 0.0,
            "collab_ignored_aux_call_penalty": -IGNORED_PENALTY if self.ignores_aux else 0.0,
            "delta_aux": self.delta_aux,
            "delta_main": self.delta_main,
            "gated_total_reward": self.paper,
            "total_reward": self.definitions + self.syntax + self.tests + self.use + self.substance,
        }
