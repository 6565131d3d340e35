// persistent
#define COUNTER_STEP 16
#define LAUNCH_ITEMS 3
#define LAUNCH_ITEMS_X 4
#define LAUNCH_ITEMS_Y 5
#define LAUNCH_ITEMS_Z 6
#define LAUNCH_KERNEL 0
#define LAUNCH_NUMBERS 7
#define LAUNCH_PLACES 8
#define LAUNCH_RUN 2
#define LAUNCH_SIZE 11
#define LAUNCH_TICKETS 1
#define LAUNCH_WAITS 9
#define LAUNCH_WAIT_COUNT 10
#define real float
#define LOAD(p, i) ((p)[i])
#define STORE(p, i, v) ((p)[i] = (v))
#define WORK_GROUP __attribute__((reqd_work_group_size(1, 1, 1)))
#define persistent persistent_982ea2702b1b

#define get_global_id(axis) ((axis) == 0 ? item_x : (axis) == 1 ? item_y : item_z)
#define get_global_size(axis) ((axis) == 0 ? items_x : (axis) == 1 ? items_y : items_z)
#define get_group_id(axis) get_global_id(axis)
#define get_num_groups(axis) get_global_size(axis)
#define get_local_id(axis) ((size_t)0)
#define get_local_size(axis) ((size_t)1)
#define barrier(fence)

// softmax_rows
#define BLOCK 8
#define LOADU(p, i) (*(__global const loose *)((p) + (i)))
#define STOREU(p, i, v) (*(__global loose *)((p) + (i)) = (v))
#define real float
#define LOAD(p, i) ((p)[i])
#define STORE(p, i, v) ((p)[i] = (v))
#define vec float8
#define LOADV(p, i) (*(__global const vec *)((p) + (i)))
#define STOREV(p, i, v) (*(__global vec *)((p) + (i)) = (v))
#define WORK_GROUP __attribute__((reqd_work_group_size(1, 1, 1)))
#define softmax_rows softmax_rows_aaa1ecb505be

static void softmax_rows(const size_t item_x, const size_t item_y, const size_t item_z, const size_t items_x, const size_t items_y, const size_t items_z, 
    __global const real *restrict x,   // line_count, length, inner
    __global real *restrict y,
    const int lines_per_item,
    const int line_count, const int length)
{
    typedef vec loose __attribute__((aligned(4)));   // lines start at any element
    const int first = (int)get_global_id(0) * lines_per_item;
    for (int line = first; line < min(first + lines_per_item, line_count); ++line) {
        __global const real *from = x + line * length;
        __global real *to = y + line * length;
        int i;
        float most = -INFINITY;
        i = 0;
        vec most_lanes = (vec)(-INFINITY);
        for (; i + BLOCK <= length; i += BLOCK) {
            const vec v = LOADU(from, i);
            most_lanes = v > most_lanes ? v : most_lanes;
        }
        for (; i < length; ++i) {
            const float v = LOAD(from, i);
            most = v > most ? v : most;
        }
        for (int lane = 0; lane < BLOCK; ++lane) {
            const float v = ((float *)&most_lanes)[lane];
            most = v > most ? v : most;
        }
        float total = 0.0f;
        i = 0;
        vec total_lanes = (vec)(0.0f);
        for (; i + BLOCK <= length; i += BLOCK) {
            const vec v = LOADU(from, i);
            total_lanes = total_lanes + exp(v - most);
        }
        for (; i < length; ++i) {
            const float v = LOAD(from, i);
            total = total + exp(v - most);
        }
        for (int lane = 0; lane < BLOCK; ++lane) {
            const float v = ((float *)&total_lanes)[lane];
            total = total + v;
        }
        i = 0;
        for (; i + BLOCK <= length; i += BLOCK) {
            const vec v = LOADU(from, i);
            STOREU(to, i, exp(v - most) / total);
        }
        for (; i < length; ++i) {
            const float v = LOAD(from, i);
            STORE(to, i, exp(v - most) / total);
        }
    }
}

#undef BLOCK
#undef LOADU
#undef STOREU
#undef real
#undef LOAD
#undef STORE
#undef vec
#undef LOADV
#undef STOREV
#undef WORK_GROUP
#undef softmax_rows

// pool_rows
#define COMBINE(a, v) ((v) > (a) || (v) != (v) ? (v) : (a))
#define COPIED 4112
#define DILATION_H 1
#define DILATION_W 1
#define IDENTITY (-INFINITY)
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
#define pool_rows pool_rows_bde163c3e510

static void pool_rows(const size_t item_x, const size_t item_y, const size_t item_z, const size_t items_x, const size_t items_y, const size_t items_z, 
    __global const real *restrict x,   // planes, height, width
    __global real *restrict y,         // planes, p_count, q_count
    const int height, const int width,
    const int p_count, const int q_count,
    const int pitch, const int phase,       // elements of a row of the copy, and of one residue
    const int size,                         // elements of x
    const int tasks, const int tasks_each)  // bands in all; those of a work-item
{
    float line[COPIED];
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

#undef get_global_id
#undef get_global_size
#undef get_group_id
#undef get_num_groups
#undef get_local_id
#undef get_local_size
#undef barrier

static void compute_ticket(__global char **regions, __local char *scratch, __global const int *head,
                           __global const int *numbers, __global const int *places, const int ticket)
{
    const size_t items_x = head[LAUNCH_ITEMS_X], items_y = head[LAUNCH_ITEMS_Y], items_z = head[LAUNCH_ITEMS_Z];
    const int begin = ticket * head[LAUNCH_RUN], end = min(begin + head[LAUNCH_RUN], head[LAUNCH_ITEMS]);
    for (int item = begin; item < end; ++item) {
        const size_t item_x = item % items_x, item_y = item / items_x % items_y, item_z = item / (items_x * items_y);
        switch (head[LAUNCH_KERNEL]) {
        case 0:
            softmax_rows_aaa1ecb505be(item_x, item_y, item_z, items_x, items_y, items_z,
                (__global void *)(regions[places[0]] + places[1]), (__global void *)(regions[places[2]] + places[3]), numbers[0], numbers[1], numbers[2]);
            break;
        case 1:
            pool_rows_bde163c3e510(item_x, item_y, item_z, items_x, items_y, items_z,
                (__global void *)(regions[places[0]] + places[1]), (__global void *)(regions[places[2]] + places[3]), numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], numbers[5],
                numbers[6], numbers[7], numbers[8]);
            break;
        }
    }
}

__kernel __attribute__((reqd_work_group_size(1, 1, 1)))
void persistent(
    __global char *region0,
    __global const int *restrict table,
    __global int *counters,        // all 0: groups that are through; tickets of each launch that are done; those of each of its shares that are taken
    __local char *scratch,
    const int launches)
{
    __global char *regions[] = {region0};
    const int groups = get_global_size(0), own = get_global_id(0);
    volatile __global int *through = counters, *done = counters + COUNTER_STEP, *taken = done + launches * COUNTER_STEP;
    for (int launch = 0; launch < launches; ++launch, taken += groups * COUNTER_STEP) {
        __global const int *head = table + launch * LAUNCH_SIZE;
        __global const int *numbers = table + head[LAUNCH_NUMBERS];
        __global const int *places = table + head[LAUNCH_PLACES];
        __global const int *waits = table + head[LAUNCH_WAITS];
        for (int i = 0; i < head[LAUNCH_WAIT_COUNT]; ++i) {
            volatile __global int *awaited = done + waits[i] * COUNTER_STEP;
            while (*awaited < table[waits[i] * LAUNCH_SIZE + LAUNCH_TICKETS]) {}
            atomic_or(awaited, 0);   // orders what follows after what was counted, as a fence on its own need not do everywhere
        }
        mem_fence(CLK_GLOBAL_MEM_FENCE);

        const long tickets = head[LAUNCH_TICKETS];
        int computed = 0;
        for (int i = 0; i < groups; ++i) {
            const int share = (own + i) % groups;
            const int first = (int)(share * tickets / groups), count = (int)((share + 1) * tickets / groups) - first;
            while (count > 0 && taken[share * COUNTER_STEP] < count) {   // read before it is changed: others may be at it
                const int ticket = atomic_inc(taken + share * COUNTER_STEP);
                if (ticket >= count) break;
                compute_ticket(regions, scratch, head, numbers, places, first + ticket);
                ++computed;
            }
        }
        mem_fence(CLK_GLOBAL_MEM_FENCE);
        if (computed > 0) atomic_add(done + launch * COUNTER_STEP, computed);
    }
    // The last group leaves the counters as it found them.
    if (atomic_inc(through) == groups - 1)
        for (int i = 0; i < 1 + launches * (1 + groups); ++i)
            counters[i * COUNTER_STEP] = 0;
}

#undef COUNTER_STEP
#undef LAUNCH_ITEMS
#undef LAUNCH_ITEMS_X
#undef LAUNCH_ITEMS_Y
#undef LAUNCH_ITEMS_Z
#undef LAUNCH_KERNEL
#undef LAUNCH_NUMBERS
#undef LAUNCH_PLACES
#undef LAUNCH_RUN
#undef LAUNCH_SIZE
#undef LAUNCH_TICKETS
#undef LAUNCH_WAITS
#undef LAUNCH_WAIT_COUNT
#undef real
#undef LOAD
#undef STORE
#undef WORK_GROUP
#undef persistent
