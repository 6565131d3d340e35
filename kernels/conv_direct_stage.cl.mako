## conv_direct_stage.cl.mako -- a copy of x in float, surrounded by the zeros that windows reach into, columns sorted for vector loads.
##
## staged[plane, z, y, f, i] = x[plane, z - begin_d, y - begin_h, i * SPLIT + f - begin_w], or 0 outside of x. SPLIT is the column stride
## of the windows: with the columns of one residue side by side, neighbouring outputs read neighbouring elements.
## One work-group fills `rows_each` rows. Index space, fastest first:
##     get_global_id(0)  GROUP work-items share a row
##     get_global_id(1)  a run of rows (z, y) of the staged plane
##     get_global_id(2)  n * channels + channel                   planes
## Header constants: SPLIT, GROUP, CEIL_DIV(a, b).
__kernel WORK_GROUP
void conv_direct_stage(
    __global const real *restrict x,        // planes, D, H, W
    __global float *restrict staged,        // planes, staged D, staged H, SPLIT, pitch
    const int depth, const int height, const int width,
    const int begin_d, const int begin_h, const int begin_w,
    const int staged_depth, const int staged_height, const int pitch,
    const int rows_each)
{
    const int rows = staged_depth * staged_height;
    const int row0 = get_global_id(1) * rows_each;
    const int plane = get_global_id(2);
    const int row_end = rows - row0 < rows_each ? rows : row0 + rows_each;

    for (int row = row0; row < row_end; ++row) {
        const int z = row / staged_height - begin_d;
        const int y = row % staged_height - begin_h;
        const bool inside = z >= 0 && z < depth && y >= 0 && y < height;
        for (int f = 0; f < SPLIT; ++f) {
            __global float *restrict to = staged + ((plane * rows + row) * SPLIT + f) * pitch;
            // Columns i in [begin, end) exist in x; an outside row has none.
            const int lowest = CEIL_DIV(begin_w - f, SPLIT);
            const int highest = CEIL_DIV(width + begin_w - f, SPLIT);
            const int begin = inside ? (lowest < 0 ? 0 : lowest > pitch ? pitch : lowest) : pitch;
            const int end = inside ? (highest < begin ? begin : highest > pitch ? pitch : highest) : pitch;
            const int from = inside ? ((plane * depth + z) * height + y) * width + f - begin_w : 0;
            int i = get_local_id(0);
            for (; i < begin; i += GROUP) to[i] = 0.0f;
            for (; i < end; i += GROUP) to[i] = LOAD(x, from + i * SPLIT);
            for (; i < pitch; i += GROUP) to[i] = 0.0f;
        }
    }
}
