"""Files that hold models and trainings. Imported when one is read or written, not before.

storage.py replaces and reads files whole; container.py is the format; recipe.py, history.py,
trainer.py and model.py turn what the package has into fields and arrays and back, checkpoint.py a
whole training.
"""
