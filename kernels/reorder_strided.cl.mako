## reorder_strided.cl.mako -- y = x between any strides and between element types.
##
## The loops: rows (outer loops), lines (tiled only: the loop in which x is contiguous), columns (the loop in which y is).
## A work-item copies columns_per_item columns of rows_per_item rows; or, tiled, of TILE_ROWS lines of one row, TILE_COLUMNS at a time,
## so that the cache lines of x that a tile touches are used up before they are lost.
## Index space: get_global_id(0) = block of rows (tiled: row * line_blocks + block of lines) * column_chunks + chunk of columns.
## Render arguments: x, y (Access), tiled, outer (number of outer loops).
<%page args="x, y, tiled, outer"/>\
<%def name="pointer(operand, place)">\
${operand.name}_data${f" + {operand.name}_offset" if operand.shifted else ""}\
${"".join(f" + {place}{axis} * {operand.name}_stride{axis}" for axis in range(outer))}\
</%def>\
__kernel WORK_GROUP void reorder_strided(
% for operand in (x, y):
    __global ${"const " if operand is x else ""}${operand.storage} *restrict ${operand.name}_data,
    % if operand.shifted:
    const int ${operand.name}_offset,
    % endif
    % for axis in range(outer):
    const int ${operand.name}_stride${axis},
    % endfor
    % if tiled:
    const int ${operand.name}_across,
    % endif
    % if operand.step not in ("0", "1"):
    const int ${operand.step},
    % endif
% endfor
% for axis in range(1, outer):
    const int extent${axis},
% endfor
% if tiled:
    const int line_count,
    const int line_blocks,
% else:
    const int row_count,
    const int rows_per_item,
% endif
    const uint item_count,
    const int column_count,
    const int columns_per_item,
    const uint column_chunks)
{
    const uint item = get_global_id(0);
    if (item >= item_count) return;
    const int begin = (int)(item % column_chunks) * columns_per_item;
    const int end = begin + min(columns_per_item, column_count - begin);
% if tiled:
    const int line_begin = (int)(item / column_chunks) % line_blocks * TILE_ROWS;
    const int line_end = min(line_begin + TILE_ROWS, line_count);
    int position${outer - 1} = (int)(item / column_chunks) / line_blocks;
% else:
    const int row_begin = (int)(item / column_chunks) * rows_per_item;
    const int row_end = row_begin + min(rows_per_item, row_count - row_begin);
    int position${outer - 1} = row_begin;
% endif
% for axis in range(outer - 1, 0, -1):
    int position${axis - 1} = position${axis} / extent${axis};
    position${axis} %= extent${axis};
% endfor

% if tiled:
    __global const ${x.storage} *x_row = ${pointer(x, "position")};
    __global ${y.storage} *y_row = ${pointer(y, "position")};
    for (int first = begin; first < end; first += TILE_COLUMNS) {
        if (first + TILE_COLUMNS <= end) {
            for (int line = line_begin; line < line_end; ++line) {
                #pragma unroll
                for (int i = 0; i < TILE_COLUMNS; ++i) {
                    const ${x.value} v = ${x.load("(x_row + line * x_across)", "first + i")};
                    ${y.store("(y_row + line * y_across)", "first + i", "v")}
                }
            }
        } else {
            for (int line = line_begin; line < line_end; ++line) {
                for (int column = first; column < end; ++column) {
                    const ${x.value} v = ${x.load("(x_row + line * x_across)", "column")};
                    ${y.store("(y_row + line * y_across)", "column", "v")}
                }
            }
        }
    }
% else:
    for (int row = row_begin; row < row_end; ++row) {
        __global const ${x.storage} *x_row = ${pointer(x, "position")};
        __global ${y.storage} *y_row = ${pointer(y, "position")};
        for (int column = begin; column < end; ++column) {
            const ${x.value} v = ${x.load("x_row", "column")};
            ${y.store("y_row", "column", "v")}
        }
        ++position${outer - 1};
    % for axis in range(outer - 1, 0, -1):
        if (position${axis} == extent${axis}) { position${axis} = 0; ++position${axis - 1}; }
    % endfor
    }
% endif
}
