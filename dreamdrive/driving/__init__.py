"""What driving terms mean: state, actions, causes, kinematics, rewards and costs."""
