"""The certificate's fold, for the projections that keep its spans in a table; the rule stands in `domain.coverage`."""

from userstream.domain.coverage import COVERAGE_EVENTS, Coverage, CoverageState, Span, fold_coverage

__all__ = ["COVERAGE_EVENTS", "Coverage", "CoverageState", "Span", "fold_coverage"]
