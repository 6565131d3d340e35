## persistent.cl.mako -- all launches of a run as one, whose work-groups stay until everything is done ("persistent threads").
##
## A work-item, alone in its group, goes through the launches in order. It waits for those that a launch waits for, and then takes tickets,
## each a run of neighbouring work-items. Every group has a share of the tickets, the same part of each launch, so that mostly it reads what
## it has written itself, out of its own cache (depthwise layers one after the other run 1.6 times as fast as with tickets that anybody
## takes); when its share is through it helps the others. A group goes on when all tickets of a launch are taken, by groups that run: so
## what it waits for will be done, on however many processors, in whatever order the groups begin.
##
## Index space: as many work-items as should work at once.
##
## Header constants: LAUNCH_SIZE, numbers in the table for a launch, at the places LAUNCH_KERNEL (which of the kernels), LAUNCH_TICKETS,
##     LAUNCH_RUN (work-items of a ticket; the last may have fewer), LAUNCH_ITEMS and LAUNCH_ITEMS_X, _Y, _Z (work-items in all, and in each
##     dimension), LAUNCH_NUMBERS, LAUNCH_PLACES and LAUNCH_WAITS (where in the table its kernel's numbers, pairs of region and byte, and
##     the launches that it waits for begin), LAUNCH_WAIT_COUNT. COUNTER_STEP: how far counters lie apart, so that no two share a cache line.
## Render arguments: kernels: (symbol, the kernel as a function of its index space and its arguments, kinds of the arguments); regions: how many.
<%page args="kernels, regions"/>\
#define get_global_id(axis) ((axis) == 0 ? item_x : (axis) == 1 ? item_y : item_z)
#define get_global_size(axis) ((axis) == 0 ? items_x : (axis) == 1 ? items_y : items_z)
#define get_group_id(axis) get_global_id(axis)
#define get_num_groups(axis) get_global_size(axis)
#define get_local_id(axis) ((size_t)0)
#define get_local_size(axis) ((size_t)1)
#define barrier(fence)

% for _, text, _ in kernels:
${text}
% endfor
% for name in ("get_global_id", "get_global_size", "get_group_id", "get_num_groups", "get_local_id", "get_local_size", "barrier"):
#undef ${name}
% endfor

static void compute_ticket(__global char **regions, __local char *scratch, __global const int *head,
                           __global const int *numbers, __global const int *places, const int ticket)
{
    const size_t items_x = head[LAUNCH_ITEMS_X], items_y = head[LAUNCH_ITEMS_Y], items_z = head[LAUNCH_ITEMS_Z];
    const int begin = ticket * head[LAUNCH_RUN], end = min(begin + head[LAUNCH_RUN], head[LAUNCH_ITEMS]);
    for (int item = begin; item < end; ++item) {
        const size_t item_x = item % items_x, item_y = item / items_x % items_y, item_z = item / (items_x * items_y);
        switch (head[LAUNCH_KERNEL]) {
        % for number, (symbol, _, kinds) in enumerate(kernels):
        case ${number}:
<%
    arguments, counts = [], {"buffer": 0, "number": 0}
    for kind in kinds:
        if kind == "buffer":
            place = counts["buffer"]
            arguments.append(f"(__global void *)(regions[places[{place}]] + places[{place + 1}])")
            counts["buffer"] += 2
        else:
            number = f"numbers[{counts['number']}]"
            arguments.append({"float": f"as_float({number})", "local": f"(__local void *)(scratch + {number})"}.get(kind, number))
            counts["number"] += 1
%>\
            ${symbol}(item_x, item_y, item_z, items_x, items_y, items_z,
                ${(",\n" + 16 * " ").join(", ".join(arguments[i : i + 8]) for i in range(0, len(arguments), 8))});
            break;
        % endfor
        }
    }
}

__kernel __attribute__((reqd_work_group_size(1, 1, 1)))
void persistent(
    % for i in range(regions):
    __global char *region${i},
    % endfor
    __global const int *restrict table,
    __global int *counters,        // all 0: groups that are through; tickets of each launch that are done; those of each of its shares that are taken
    __local char *scratch,
    const int launches)
{
    __global char *regions[] = {${", ".join(f"region{i}" for i in range(regions))}};
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
