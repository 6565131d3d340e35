// conv_depthwise_rows
#define ACTIVATE(v) ((v) < (vec)(low) ? (vec)(low) : (v))
#define COPIED 4112
#define DILATION_H 1
#define DILATION_W 1
#define KERNEL_H 5
#define KERNEL_W 5
#define LANES 8
#define LANE_IDS ((int8)(0, 1, 2, 3, 4, 5, 6, 7))
#define PAD_H 2
#define PAD_W 2
#define REACH_H 5
#define REACH_W 5
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
#define conv_depthwise_rows conv_depthwise_rows_d47fa5a2e11a

__kernel WORK_GROUP
void conv_depthwise_rows(
    __global const real *restrict x,        // N, channels, height, width
    __global const real *restrict w,        // filters, KERNEL_H, KERNEL_W
    const int has_bias, const int has_residual, const float low,
    __global const real *restrict bias,     // filters
    __global const real *restrict residual, // as y
    __global real *restrict y,              // N, filters, p_count, q_count
    const int filters, const int multiplier,   // filters of an image; of a channel
    const int band, const int bands,           // rows of windows in a band; bands of a map
    const int height, const int width,
    const int p_count, const int q_count,
    const int pitch, const int phase,       // elements of a row of the copy, and of one residue
    const int size,                         // elements of x
    const int tasks, const int tasks_each)  // bands in all; those of a work-item
{
    float copy[COPIED];
    float totals[COPIED];
    const int read = (q_count - 1) * STRIDE_W + REACH_W - PAD_W;
    const int inner = width < read ? width : read;
    const int task0 = (int)get_global_id(0) * tasks_each;
    const int task_end = task0 + tasks_each < tasks ? task0 + tasks_each : tasks;
    for (int task = task0; task < task_end; ++task) {
        const int plane = task / bands;
        const int p0 = (task - plane * bands) * band;
        const int rows = band < p_count - p0 ? band : p_count - p0;
        const int filter = plane % filters;
        const int map_at = (plane / filters * (filters / multiplier) + filter / multiplier) * height * width;
        // The loops over windows read up to two vectors beyond the last row, in vain.
        for (int i = 0; i < STRIDE_H * STRIDE_W * phase + LANES; i += LANES) WRITE_LANES((vec)(0.0f), copy + i);
        for (int r = 0; r < (rows - 1) * STRIDE_H + REACH_H; ++r) {
            float *line = copy + r % STRIDE_H * STRIDE_W * phase + r / STRIDE_H * pitch;
            const int row = p0 * STRIDE_H - PAD_H + r;
            if (row < 0 || row >= height) continue;
            const int from = map_at + row * width;
            int c = 0;
            for (; c < inner && c <= size - 2 * LANES - (from); c += 2 * LANES) {
                const vec near = READ(x + from + c);
                const vec far = READ(x + from + c + LANES);
                const vec even = (vec)(near.even, far.even), odd = (vec)(near.odd, far.odd);
                WRITE_LANES(2 * LANE_IDS < (mask)(inner - c) ? even : (vec)(0.0f), line + PAD_W % 2 * phase + (PAD_W + c) / 2);
                WRITE_LANES(2 * LANE_IDS + 1 < (mask)(inner - c) ? odd : (vec)(0.0f), line + (PAD_W + 1) % 2 * phase + (PAD_W + 1 + c) / 2);
            }
            for (; c < inner; ++c) {
                const float value = LOAD(x + from, c);
                line[(PAD_W + c) % STRIDE_W * phase + (PAD_W + c) / STRIDE_W] = value;
            }
        }
        float weights[KERNEL_H * KERNEL_W];
        for (int t = 0; t < KERNEL_H * KERNEL_W; ++t) weights[t] = LOAD(w, filter * (KERNEL_H * KERNEL_W) + t);
        const vec start = (vec)(has_bias ? LOAD(bias, filter) : 0.0f);
        const int count = (rows - 1) * pitch + q_count;
        int i = 0;
        for (; i < count; i += 2 * LANES) {
            vec near = start, far = start;
            #pragma unroll 1
            for (int r = 0; r < KERNEL_H; ++r) {
                #pragma unroll
                for (int s = 0; s < KERNEL_W; ++s) {
                    const float *from = copy + ((r * DILATION_H % STRIDE_H * STRIDE_W + s * DILATION_W % STRIDE_W) * phase + r * DILATION_H / STRIDE_H * pitch + s * DILATION_W / STRIDE_W) + i;
                    const vec weight = (vec)(weights[r * KERNEL_W + s]);
                    near += weight * READ_LANES(from);
                    far += weight * READ_LANES(from + LANES);
                }
            }
            WRITE_LANES(near, totals + i);
            WRITE_LANES(far, totals + i + LANES);
        }
        WRITE_LANES(start, totals + i);   // the last vector of the last row may begin that late
        const int end = (plane * p_count + p0 + rows) * q_count;
        for (int p = 0; p < rows; ++p) {
            const int row_at = (plane * p_count + p0 + p) * q_count;
            for (int q = 0; q < q_count; q += LANES) {
                const int at = row_at + q;
                const int whole = at <= end - LANES;
                const int live = q_count - q < LANES ? q_count - q : LANES;
                vec value;
                value = READ_LANES(totals + p * pitch + q);
                if (has_residual) {
                    if (whole) {
                        value += READ(residual + at);
                    } else {
                        float more[LANES];
                        for (int i = 0; i < LANES; ++i) more[i] = i < live ? LOAD(residual, at + i) : 0.0f;
                        value += READ_LANES(more);
                    }
                }
                value = ACTIVATE(value);
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

#undef ACTIVATE
#undef COPIED
#undef DILATION_H
#undef DILATION_W
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
#undef conv_depthwise_rows
