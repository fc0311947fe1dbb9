"""What people read of an evaluation: report, model card, pages of cross-validation and comparison."""
