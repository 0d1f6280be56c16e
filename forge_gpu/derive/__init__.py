"""What is made of prepared folders alone, without the data that they were made from."""
