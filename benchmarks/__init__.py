"""How fast things are, beside what a user would write and beside other packages. Never part of the tests."""
