"""What people ask for about people: groups, invitations, sharing, policies; and who may do what."""
