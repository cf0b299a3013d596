"""What a job is and how it lives: timing, plan, ledger, submission, dispatch, assembly, command line."""
