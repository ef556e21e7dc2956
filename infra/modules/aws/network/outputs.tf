output "subnets" { value = [for zone in sort(keys(aws_subnet.zone)) : aws_subnet.zone[zone].id] }
output "zones" { value = sort(keys(local.zones)) }
output "security_group" { value = aws_security_group.machines.id }
