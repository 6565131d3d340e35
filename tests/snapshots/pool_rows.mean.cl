// pool_rows
#define COMBINE(a, v) ((a) + (v))
#define COPIED 4112
#define DILATION_H 1
#define DILATION_W 1
#define IDENTITY 0.0f
#define KERNEL_H 3
#define KERNEL_W 3
#define LANES 8
#define LANE_IDS ((int8)(0, 1, 2, 3, 4, 5, 6, 7))
#define PAD_H 1
#define PAD_W 1
#define REACH_H 3
#define REACH_W 3
#define READ(p) (((__global const struct __attribute__((packed)) { float8 all; } *)(p))->all)
#define READ_LANES(p) (((const struct __attribute__((packed)) { float8 all; } *)(p))->all)
#define READ_STAGED(p) (((__global const struct __attribute__((packed)) { float8 all; } *)(p))->all)
#define STRIDE_H 2
#define STRIDE_W 2
#define WRITE(v, p) (((__global struct __attribute__((packed)) { float8 all; } *)(p))->all = (v))
#define WRITE_LANES(v, p) (((__private struct __attribute__((packed)) { float8 all; } *)(p))->all = (v))
#define mask int8
#define vec float8
#define real float
#define LOAD(p, i) ((p)[i])
#define STORE(p, i, v) ((p)[i] = (v))
#define WORK_GROUP __attribute__((reqd_work_group_size(1, 1, 1)))
#define pool_rows pool_rows_51c89296ed54

// Of the elements start, start + step, ... of a window of `taps`, those from `low` to below `high`.
#define BELOW(start, limit, step, taps)     ((limit) <= (start) ? 0 : ((limit) - (start) + (step) - 1) / (step) < (taps) ? ((limit) - (start) + (step) - 1) / (step) : (taps))
#define COUNT(start, low, high, step, taps) (BELOW(start, high, step, taps) - BELOW(start, low, step, taps))
__kernel WORK_GROUP
void pool_rows(
    __global const real *restrict x,   // planes, height, width
    __global real *restrict y,         // planes, p_count, q_count
    const float divisor,               // of every window; 0: the number of its elements from low_* to below high_*
    const int low_h, const int high_h, const int low_w, const int high_w,
    const int height, const int width,
    const int p_count, const int q_count,
    const int pitch, const int phase,       // elements of a row of the copy, and of one residue
    const int size,                         // elements of x
    const int tasks, const int tasks_each)  // bands in all; those of a work-item
{
    float line[COPIED];
    float in_row[COPIED];              // elements that count in a row of a window
    WRITE_LANES((vec)(1.0f), in_row + q_count);   // the last vector goes on behind the last window
    for (int q = 0; q < q_count && divisor == 0.0f; ++q)
        in_row[q] = (float)COUNT(q * STRIDE_W - PAD_W, low_w, high_w, DILATION_W, KERNEL_W);
    for (int i = 0; i < STRIDE_W * phase; ++i) line[i] = IDENTITY;
    const int read = (q_count - 1) * STRIDE_W + REACH_W - PAD_W;
    const int inner = width < read ? width : read;
    const int task0 = (int)get_global_id(0) * tasks_each;
    const int task_end = task0 + tasks_each < tasks ? task0 + tasks_each : tasks;
    const int end = task_end * q_count;
    for (int task = task0; task < task_end; ++task) {
        const int plane = task / p_count;
        const int top = (task - plane * p_count) * STRIDE_H - PAD_H;
        const int begin = top < 0 ? (-top + DILATION_H - 1) / DILATION_H : 0;
        const int rest = (height - top + DILATION_H - 1) / DILATION_H;
        const int count = (rest < KERNEL_H ? rest : KERNEL_H) - begin;   // rows of the map in the windows
        if (count <= 0) {
            for (int i = 0; i < STRIDE_W * phase; ++i) line[i] = IDENTITY;
        } else {
            const int from = (plane * height + top + begin * DILATION_H) * width;
            int c = 0;
            for (; c < inner && c <= size - 2 * LANES - (from + (count - 1) * DILATION_H * width); c += 2 * LANES) {
                vec near = READ(x + from + 0 * DILATION_H * width + c);
                for (int r = 1; r < count; ++r) {
                    const vec more = READ(x + from + r * DILATION_H * width + c);
                    near = COMBINE(near, more);
                }
                vec far = READ(x + from + 0 * DILATION_H * width + c + LANES);
                for (int r = 1; r < count; ++r) {
                    const vec more = READ(x + from + r * DILATION_H * width + c + LANES);
                    far = COMBINE(far, more);
                }
                const vec even = (vec)(near.even, far.even), odd = (vec)(near.odd, far.odd);
                WRITE_LANES(2 * LANE_IDS < (mask)(inner - c) ? even : (vec)(IDENTITY), line + PAD_W % 2 * phase + (PAD_W + c) / 2);
                WRITE_LANES(2 * LANE_IDS + 1 < (mask)(inner - c) ? odd : (vec)(IDENTITY), line + (PAD_W + 1) % 2 * phase + (PAD_W + 1 + c) / 2);
            }
            for (; c < inner; ++c) {
                float value = LOAD(x + from, 0 * DILATION_H * width + c);
                for (int r = 1; r < count; ++r) {
                    const float more = LOAD(x + from, r * DILATION_H * width + c);
                    value = COMBINE(value, more);
                }
                line[(PAD_W + c) % STRIDE_W * phase + (PAD_W + c) / STRIDE_W] = value;
            }
        }
        const float in_column = (float)COUNT(top, low_h, high_h, DILATION_H, KERNEL_H);
        {
            const int row_at = task * q_count;
            for (int q = 0; q < q_count; q += LANES) {
                const int at = row_at + q;
                const int whole = at <= end - LANES;
                const int live = q_count - q < LANES ? q_count - q : LANES;
                vec value;
                value = READ_LANES(line + q);
                #pragma unroll
                for (int s = 1; s < KERNEL_W; ++s) {
                    const vec more = READ_LANES(line + s * DILATION_W % STRIDE_W * phase + s * DILATION_W / STRIDE_W + q);
                    value = COMBINE(value, more);
                }
                value /= divisor != 0.0f ? (vec)(divisor) : in_column * READ_LANES(in_row + q);
                if (whole) {
                    WRITE(value, y + at);
                } else {
                    float rest[LANES];
                    WRITE_LANES(value, rest);
                    for (int i = 0; i < live; ++i) STORE(y, at + i, rest[i]);
                }
            }
        }
    }
}
#undef BELOW
#undef COUNT

#undef COMBINE
#undef COPIED
#undef DILATION_H
#undef DILATION_W
#undef IDENTITY
#undef KERNEL_H
#undef KERNEL_W
#undef LANES
#undef LANE_IDS
#undef PAD_H
#undef PAD_W
#undef REACH_H
#undef REACH_W
#undef READ
#undef READ_LANES
#undef READ_STAGED
#undef STRIDE_H
#undef STRIDE_W
#undef WRITE
#undef WRITE_LANES
#undef mask
#undef vec
#undef real
#undef LOAD
#undef STORE
#undef WORK_GROUP
#undef pool_rows
