## map_blocked.cl.mako -- y0, y1, ... = statements(x0, x1, ...), element by element, on channel-blocked tensors.
##
## One work-item computes some rows of one plane of blocks. Index space, fastest first:
##     get_global_id(0)  run of rows
##     get_global_id(1)  channel block
##     get_global_id(2)  image
## Operands of the full shape and outputs are N, channel blocks, rows, columns, BLOCK; small ones are read once for a work-item, one value
## for each lane. `index` counts as in the plain layout. Lanes beyond the last channel are stored as zero, whatever the statements give.
## An operand may be the memory of an output stored alike: an element is read before it is written, by the same work-item.
## Header constants: BLOCK.   Render arguments: full and small (Operand), outputs (Target),
##     statements (C), scalars (name, type), uses_index, random_word, inlined (functions to write out: see inline_math).
<%page args="full, small, outputs, statements, scalars, uses_index, random_word, inlined"/>\
<%namespace name="common" file="common.cl.mako"/>\
% if random_word:
${common.random_word()}
% endif
% if inlined:
${common.inline_math(inlined)}\
% endif
__kernel WORK_GROUP
void map_blocked(
    % for x in full:
    __global const ${x.storage} *${x.name}_data,
    const int ${x.name}_offset, const int ${x.name}_image, const int ${x.name}_plane, const int ${x.name}_row,
    % endfor
    % for x in small:
    __global const ${x.storage} *${x.name}_data,
    const int ${x.name}_image, const int ${x.name}_channel,
    % endfor
    % for y in outputs:
    __global ${y.storage} *${y.name}_data,
    const int ${y.name}_offset, const int ${y.name}_image, const int ${y.name}_plane, const int ${y.name}_row,
    const int ${y.name}_above, const int ${y.name}_below, const int ${y.name}_left, const int ${y.name}_right,   // elements of halo
    % endfor
    % for name, kind in scalars:
    const ${kind} ${name},
    % endfor
    const int channels,
    const int positions,          // of a plane
    const int row_count, const int width,
    const int rows_per_item)
{
    const int row0 = (int)get_global_id(0) * rows_per_item;
    const int row1 = min(row0 + rows_per_item, row_count);
    const int block = (int)get_global_id(1);
    const int image = (int)get_global_id(2);
    const int lanes = min(BLOCK, channels - block * BLOCK);
    % for x in full:
    __global const ${x.storage} *${x.name}_plane0 = ${x.name}_data + (size_t)image * ${x.name}_image
        + block * ${x.name}_plane + ${x.name}_offset;
    % endfor
    % for x in small:
    float ${x.name}_lane[BLOCK];
    for (int lane = 0; lane < BLOCK; ++lane) {
        const int at = image * ${x.name}_image + (block * BLOCK + min(lane, lanes - 1)) * ${x.name}_channel;
        ${x.name}_lane[lane] = ${x.load(f"{x.name}_data", "at")};
    }
    % endfor
    % for y in outputs:
    __global ${y.storage} *${y.name}_plane0 = ${y.name}_data + (size_t)image * ${y.name}_image + block * ${y.name}_plane + ${y.name}_offset;
    if (row0 == 0)
        for (int i = -${y.name}_above - ${y.name}_left; i < -${y.name}_left; ++i)
            ${y.store(f"{y.name}_plane0", "i", "0.0f")}
    % endfor
    for (int row = row0; row < row1; ++row) {
        const int count = min(width, positions - row * width);
        % for x in full:
        __global const ${x.storage} *${x.name}_at = ${x.name}_plane0 + row * ${x.name}_row;
        % endfor
        % for y in outputs:
        __global ${y.storage} *${y.name}_at = ${y.name}_plane0 + row * ${y.name}_row;
        for (int i = -${y.name}_left; i < 0; ++i)
            ${y.store(f"{y.name}_at", "i", "0.0f")}
        % endfor
        for (int column = 0; column < count; ++column) {
#ifdef __clang__
#pragma clang loop vectorize(assume_safety)   // in place is safe: see above
#endif
            for (int lane = 0; lane < BLOCK; ++lane) {
                % if uses_index:
                const uint index = (uint)(image * channels + block * BLOCK + lane) * (uint)positions + (uint)(row * width + column);
                % endif
                % for x in full:
                const float ${x.name} = ${x.load(f"{x.name}_at", "column * BLOCK + lane")};
                % endfor
                % for x in small:
                const float ${x.name} = ${x.name}_lane[lane];
                % endfor
                % for statement in statements:
                ${statement}
                % endfor
                % for y in outputs:
                ${y.store(f"{y.name}_at", "column * BLOCK + lane", f"lane < lanes ? {y.name} : 0.0f")}
                % endfor
            }
        }
        % for y in outputs:
        for (int i = width * BLOCK; i < width * BLOCK + ${y.name}_right; ++i)
            ${y.store(f"{y.name}_at", "i", "0.0f")}
        % endfor
    }
    % for y in outputs:
    if (row1 == row_count)
        for (int i = -${y.name}_left; i < ${y.name}_below - ${y.name}_left; ++i)
            ${y.store(f"{y.name}_plane0", f"row_count * {y.name}_row + i", "0.0f")}
    % endfor
}
% if inlined:
${common.undo_math(inlined)}\
% endif
