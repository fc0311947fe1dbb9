"""What every part of Nevus shares: types, files on disk, image decoding. Imports nothing else of ours."""
