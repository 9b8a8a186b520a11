"""Planning: from facts of the text, measurements of the machine and a request to the plan of a run."""
