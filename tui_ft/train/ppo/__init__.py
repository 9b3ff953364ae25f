"""PPO's arithmetic, each part by itself: rewards by token, advantages, losses, the KL penalty."""
