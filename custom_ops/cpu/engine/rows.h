// All inner loops of the engine. No include guard: see for_each_target.h.
// clang-format off: what the others are written in comes first
#include "cpu/engine/vectors16.h"
#include "cpu/engine/ddf_rows.h"
#include "cpu/engine/maps_rows.h"
#include "cpu/engine/locate_rows.h"
#include "cpu/engine/product_rows.h"
#include "cpu/engine/winograd_rows.h"
// clang-format on
