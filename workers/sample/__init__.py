"""The sample catalog: garments drawn from a seed, with a manifest and annotations, where no photographs are at hand.

`catalog` draws and writes; `assortment` says what the shop carries and `products` what is for sale. Shapes are in garment
units: `shirts`, `knits`, `outwear` and `dresses` build theirs from `torso`, `sleeves`, `collars`, `closures` and `folds`;
`lowers`, `hats` and `shoes` (from `shoe_profiles` and `shoe_tops`) stand alone; `builders` has them all by category.
`pose` puts a shape into the frame; `fabric`, `motif` and `backdrops` give surfaces, `wardrobe` what a product is sewn
from. `studio` takes the picture with `scenery`, `sewing`, `shading`, `illumination` and `camera`.
"""
