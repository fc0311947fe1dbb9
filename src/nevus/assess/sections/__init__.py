"""The sections of an evaluation: each is fitted on validation and measured on a split."""
