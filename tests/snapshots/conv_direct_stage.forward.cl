// conv_direct_stage
#define CEIL_DIV(a, b) ((a) > 0 ? ((a) + (b) - 1) / (b) : -(-(a) / (b)))
#define GROUP 1
#define SPLIT 1
#define real half
#define LOAD(p, i) vload_half((i), (p))
#define STORE(p, i, v) vstore_half((v), (i), (p))
#define WORK_GROUP __attribute__((reqd_work_group_size(1, 1, 1)))
#define conv_direct_stage conv_direct_stage_fb75f5fe9f65

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

#undef CEIL_DIV
#undef GROUP
#undef SPLIT
#undef real
#undef LOAD
#undef STORE
#undef WORK_GROUP
#undef conv_direct_stage
