"""What keeps a project's files in order: what is wrong and its remedy, what nobody needs, what a clone lacks."""
