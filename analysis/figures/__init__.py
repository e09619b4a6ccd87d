"""The data of every figure, as plain numbers; nothing is drawn here."""
