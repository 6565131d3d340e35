## persistent.cl.mako -- all launches of a run as one, whose work-groups stay until everything is done ("persistent threads").
##
## A work-item, alone in its group, takes one ticket after the other: a ticket is a run of neighbouring work-items of one of the launches,
## which are numbered in order. Before it computes them, it waits until the launches that this one waits for are done. A ticket that was
## taken is with a work-group that runs, and waits for lower tickets only: so the lowest that is not done can always go on, on however many
## processors, in whatever order the groups begin.
##
## Index space: as many work-items as should work at once; more do not hurt, and fewer compute the same.
##
## Header constants: LAUNCH_SIZE, numbers in the table for a launch, at the places LAUNCH_KERNEL (which of the kernels), LAUNCH_FIRST (its
##     first ticket), LAUNCH_TICKETS, LAUNCH_RUN (work-items of a ticket; the last may have fewer), LAUNCH_ITEMS and LAUNCH_ITEMS_X, _Y, _Z
##     (work-items in all, and in each dimension), LAUNCH_NUMBERS, LAUNCH_PLACES and
##     LAUNCH_WAITS (where in the table its kernel's numbers, pairs of region and byte, and the launches that it waits for begin),
##     LAUNCH_WAIT_COUNT. COUNTER_STEP: how far counters lie apart, so that no two share a cache line.
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

__kernel __attribute__((reqd_work_group_size(1, 1, 1)))
void persistent(
    % for i in range(regions):
    __global char *region${i},
    % endfor
    __global const int *restrict table,
    __global int *counters,        // all 0: tickets taken, groups that are through, and for each launch the tickets that are done
    __local char *scratch,
    const int launches, const int tickets)
{
    __global char *regions[] = {${", ".join(f"region{i}" for i in range(regions))}};
    volatile __global int *taken = counters, *through = counters + COUNTER_STEP, *done = counters + 2 * COUNTER_STEP;
    int launch = 0, ready = -1;   // the ticket's; and the last one for which all that it waits for was seen to be done
    for (;;) {
        const int ticket = atomic_inc(taken);
        if (ticket >= tickets) break;
        while (ticket >= table[launch * LAUNCH_SIZE + LAUNCH_FIRST] + table[launch * LAUNCH_SIZE + LAUNCH_TICKETS]) ++launch;
        __global const int *head = table + launch * LAUNCH_SIZE;
        __global const int *numbers = table + head[LAUNCH_NUMBERS];
        __global const int *places = table + head[LAUNCH_PLACES];
        __global const int *waits = table + head[LAUNCH_WAITS];
        if (ready < launch) {
            for (int i = 0; i < head[LAUNCH_WAIT_COUNT]; ++i) {
                volatile __global int *awaited = done + waits[i] * COUNTER_STEP;
                while (*awaited < table[waits[i] * LAUNCH_SIZE + LAUNCH_TICKETS]) {}
                atomic_or(awaited, 0);   // orders what follows after what was counted, as a fence on its own need not do everywhere
            }
            ready = launch;
        }
        mem_fence(CLK_GLOBAL_MEM_FENCE);
        const size_t items_x = head[LAUNCH_ITEMS_X], items_y = head[LAUNCH_ITEMS_Y], items_z = head[LAUNCH_ITEMS_Z];
        const int begin = (ticket - head[LAUNCH_FIRST]) * head[LAUNCH_RUN], end = min(begin + head[LAUNCH_RUN], head[LAUNCH_ITEMS]);
        for (int item = begin; item < end; ++item) {
        const size_t item_x = item % items_x, item_y = item / items_x % items_y, item_z = item / (items_x * items_y);
        switch (head[LAUNCH_KERNEL]) {
        % for number, (symbol, _, kinds) in enumerate(kernels):
        case ${number}:
<%
    arguments, numbers, places = [], 0, 0
    for kind in kinds:
        if kind == "buffer":
            arguments.append(f"(__global void *)(regions[places[{places}]] + places[{places + 1}])")
            places += 2
        else:
            number = f"numbers[{numbers}]"
            arguments.append({"float": f"as_float({number})", "local": f"(__local void *)(scratch + {number})"}.get(kind, number))
            numbers += 1
%>\
            ${symbol}(item_x, item_y, item_z, items_x, items_y, items_z,
                ${(",\n" + 16 * " ").join(", ".join(arguments[i : i + 8]) for i in range(0, len(arguments), 8))});
            break;
        % endfor
        }
        }
        mem_fence(CLK_GLOBAL_MEM_FENCE);
        atomic_inc(done + launch * COUNTER_STEP);
    }
    // The last group leaves the counters as it found them.
    if (atomic_inc(through) == (int)get_global_size(0) - 1) {
        for (int i = 0; i < launches; ++i)
            done[i * COUNTER_STEP] = 0;
        *through = 0;
        *taken = 0;
    }
}
