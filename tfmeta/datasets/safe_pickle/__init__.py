"""A reader of pickled arrays that runs nothing and allocates nothing for a hostile file."""
