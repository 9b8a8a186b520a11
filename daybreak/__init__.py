"""daybreak: text, any machine and a deadline in; a usable language model out."""
