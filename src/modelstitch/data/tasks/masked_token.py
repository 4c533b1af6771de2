"""Hidden tokens of a text: a label stands where one was hidden, -100 everywhere else."""

from __future__ import annotations

from .next_token import NextToken

MASKED_TOKEN = NextToken("masked-token", "the mean cross-entropy over the tokens that were hidden")
