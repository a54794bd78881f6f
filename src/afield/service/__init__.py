"""What an institution hosts: it takes tasks in, keeps them, hands them to endpoints, and gives results back."""
