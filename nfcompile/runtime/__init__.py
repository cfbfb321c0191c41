"""The engines that run models, one file each."""
