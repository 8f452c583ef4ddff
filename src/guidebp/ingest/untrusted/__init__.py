"""Opening what somebody else has written: archives, pickles, pictures. Nothing in them is believed or run."""
