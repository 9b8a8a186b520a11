"""Words that every floor says; standard library only."""
