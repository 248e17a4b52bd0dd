"""Each finding of the doctor, brought about for real; a store that is well is the control of all."""
