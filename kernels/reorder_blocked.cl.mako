## reorder_blocked.cl.mako -- y = x where one of them, or both, are channel-blocked: other layout, halo, channel slice or element type.
##
## One work-item moves some rows of one plane of blocks. Index space, fastest first:
##     get_global_id(0)  run of rows
##     get_global_id(1)  channel block of the blocked side
##     get_global_id(2)  image
## A tensor that is not blocked counts as blocks of one channel. mode:
##     rows     both have blocks of BLOCK channels: rows are copied
##     gather   x has one channel in a block, y BLOCK: BLOCK rows of x are read side by side
##     scatter  x has BLOCK channels in a block, y one: BLOCK rows of y are written one after the other, from a row of x in the first cache
## Lanes beyond the last channel and the halo of y are written as zero.
##
## `transposed`, to gather floats from planes without gaps: BLOCK positions at a time, of several rows where rows are short, go as vectors
## that are transposed in registers, wherever channels fill a block; at the end of an item some go twice. That is 1.3 (14 x 14 positions)
## to 1.8 times as fast (112 x 112) as element by element. Scattered like this they were no faster, and the kernel takes .3 s more to build.
## Header constants: BLOCK, X_STEP and Y_STEP (elements between neighbours in a row: 1, or the argument).
## Render arguments: mode, x (Operand), y (Target), value (C type that carries an element), block, transposed.
<%namespace name="transposing" file="transpose.cl.mako"/>\
<%page args="mode, x, y, value, block, transposed"/>\
<%
    end = "count" if mode == "scatter" else "count * BLOCK"
    load = lambda i: f"LOADU(source, {i} * x_plane + first)"
    store = lambda i, value: f"STOREV(target, at{i}, {value})"
%>\
<%def name="zero(pointer, begin, end)">\
for (int i = ${begin}; i < ${end}; ++i) ${y.store(pointer, "i", f"({value})0")}\
</%def>\
__kernel WORK_GROUP
void reorder_blocked(
    __global const ${x.storage} *restrict x_data,
    const int x_offset, const int x_image, const int x_plane, const int x_row, const int x_column,
    __global ${y.storage} *restrict y_data,
    const int y_offset, const int y_image, const int y_plane, const int y_row, const int y_column,
    const int y_above, const int y_below, const int y_left, const int y_right,   // elements of halo
    const int channels,
    const int positions,          // of a plane
    const int row_count, const int width,
    const int rows_per_item)
{
    const int row0 = (int)get_global_id(0) * rows_per_item;
    const int row1 = min(row0 + rows_per_item, row_count);
    const int block = (int)get_global_id(1);
    const long image = get_global_id(2);   // strides of a view may be negative
    const long x_block = (long)block * x_plane${" * BLOCK" if mode == "gather" else ""};
    const long y_block = (long)block * y_plane${" * BLOCK" if mode == "scatter" else ""};
    __global const ${x.storage} *source = x_data + x_offset + image * x_image + x_block;
    __global ${y.storage} *target = y_data + y_offset + image * y_image + y_block;
    % if mode != "rows":
    const int lanes = min(BLOCK, channels - block * BLOCK);
    % endif
    % if transposed:
    typedef vec loose __attribute__((aligned(4)));
    const int position0 = row0 * width, position1 = min(row1 * width, positions);
    const int is_moved = lanes == BLOCK && position1 - position0 >= BLOCK;
    for (int position = position0; is_moved && position < position1; position += BLOCK) {
        const int first = min(position, position1 - BLOCK);
        int row = first / width, column = first - row * width;
        % for i in range(block):
        const int at${i} = row * y_row + column * BLOCK;
        if (++column == width) {
            column = 0;
            ++row;
        }
        % endfor
        {
${transposing.transpose(block, load, store)}\
        }
    }
    % endif
    % if mode == "scatter":
    for (int lane = 0; lane < lanes; ++lane, target += y_plane) {
    % endif
    if (row0 == 0)
        ${zero("target", "-y_above - y_left", "-y_left")}
    for (int row = row0; row < row1; ++row) {
        const int count = min(width, positions - row * width);
        __global const ${x.storage} *from = source + row * x_row;
        __global ${y.storage} *to = target + row * y_row;
        ${zero("to", "-y_left", "0")}
        % if mode == "rows":
        for (int i = 0; i < count * BLOCK; ++i) {
            const ${value} element = ${x.load("from", "i * X_STEP")};
            ${y.store("to", "i * Y_STEP", "element")}
        }
        % elif mode == "gather":
        % if transposed:
        if (is_moved) {} else
        % endif
        if (lanes == BLOCK)
            for (int column = 0; column < count; ++column)
                for (int lane = 0; lane < BLOCK; ++lane) {
                    const ${value} element = ${x.load("from", "lane * x_plane + column * X_STEP")};
                    ${y.store("to", "column * BLOCK + lane", "element")}
                }
        else
            for (int column = 0; column < count; ++column) {
                for (int lane = 0; lane < lanes; ++lane) {
                    const ${value} element = ${x.load("from", "lane * x_plane + column * X_STEP")};
                    ${y.store("to", "column * BLOCK + lane", "element")}
                }
                ${zero("to", "column * BLOCK + lanes", "(column + 1) * BLOCK")}
            }
        % else:
        for (int column = 0; column < count; ++column) {
            const ${value} element = ${x.load("from", "column * BLOCK + lane")};
            ${y.store("to", "column * Y_STEP", "element")}
        }
        % endif
        ${zero("to", end, f"{end} + y_right")}
    }
    if (row1 == row_count)
        ${zero("target", "row_count * y_row - y_left", "row_count * y_row + y_below - y_left")}
    % if mode == "scatter":
    }
    % endif
}
