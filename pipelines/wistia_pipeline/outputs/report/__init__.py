"""One page that shows how an account's medias are watched, drawn from the marts."""
