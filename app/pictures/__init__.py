"""Pictures: shapes on a sheet, written as SVG or PNG; charts; graphs of nested boxes. Knows no tensors and no HTTP."""
