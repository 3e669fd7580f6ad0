"""Values: what is asked, what is answered, and the limits in force."""
