// FUSEFront
