"""Login with providers elsewhere: they prove who somebody is, this service decides what that means here."""
