"""Coverage-guided fuzzing of what reads bytes of strangers: ``make fuzz``. What it finds becomes a plain test."""
