"""What a trained model says of texts: next tokens, likelihoods, what belongs in a gap."""
